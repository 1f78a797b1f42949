"""Training over trl's trainers: one module a family of training types."""
