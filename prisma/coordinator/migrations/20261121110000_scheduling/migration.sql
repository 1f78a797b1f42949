-- What an attempt takes of the cluster, so that usage is added up without reading places; and for which job it was asked to give way.
ALTER TABLE `attempt`
    ADD COLUMN `gpus` INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN `share` DOUBLE NOT NULL DEFAULT 0,
    ADD COLUMN `evicted_for` VARCHAR(40) NULL,
    ADD INDEX `attempt_evicted_for`(`evicted_for`);

UPDATE `attempt` SET `gpus` = COALESCE(JSON_LENGTH(JSON_EXTRACT(`placement`, '$[*].gpu_indexes[*]')), 0);
UPDATE `attempt` SET `share` = `gpus`;

-- What attempts of deleted jobs ran: it still counts.
CREATE TABLE `past_usage` (
    `job_id` VARCHAR(40) NOT NULL,
    `number` INTEGER NOT NULL,
    `tenant_id` VARCHAR(64) NOT NULL,
    `gpus` INTEGER NOT NULL,
    `share` DOUBLE NOT NULL,
    `started_at` DATETIME(3) NOT NULL,
    `finished_at` DATETIME(3) NOT NULL,

    INDEX `past_usage_finished`(`finished_at`),
    PRIMARY KEY (`job_id`, `number`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
