-- Attempts from before GPUs were sampled have their trainer's metrics alone.
ALTER TABLE `attempt` ADD COLUMN `gpu_sampled` BOOLEAN NOT NULL DEFAULT false;
