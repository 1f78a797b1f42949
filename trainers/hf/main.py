"""Runs the attempt whose folder SCAIMIND_JOB_DIR names."""
