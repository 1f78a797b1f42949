ALTER TABLE `job`
    ADD COLUMN `unreachable_since` DATETIME(3) NULL,
    ADD COLUMN `unreachable_reason` VARCHAR(1000) NOT NULL DEFAULT '';

ALTER TABLE `node`
    ADD COLUMN `cordoned` BOOLEAN NOT NULL DEFAULT false,
    ADD COLUMN `confirmed` BOOLEAN NOT NULL DEFAULT false;

CREATE TABLE `node_agent` (
    `node_id` VARCHAR(255) NOT NULL,
    `hostname` VARCHAR(255) NOT NULL,
    `gpus` LONGTEXT NOT NULL,
    `cpus` INTEGER NOT NULL,
    `memory_bytes` BIGINT NOT NULL,
    `last_heartbeat` DATETIME(3) NOT NULL,
    PRIMARY KEY (`node_id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `gpu_reservation` (
    `node_id` VARCHAR(255) NOT NULL,
    `job_id` VARCHAR(40) NOT NULL,
    `attempt` INTEGER NOT NULL,
    `gpu_indexes` LONGTEXT NOT NULL,
    `created_at` DATETIME(3) NOT NULL,
    INDEX `gpu_reservation_attempt`(`job_id`, `attempt`),
    PRIMARY KEY (`node_id`, `job_id`, `attempt`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `node_blame` (
    `node_id` VARCHAR(255) NOT NULL,
    `job_id` VARCHAR(40) NOT NULL,
    `attempt` INTEGER NOT NULL,
    `tenant_id` VARCHAR(64) NOT NULL,
    `time` DATETIME(3) NOT NULL,
    `message` VARCHAR(1000) NOT NULL,
    PRIMARY KEY (`node_id`, `job_id`, `attempt`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
