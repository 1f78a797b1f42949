ALTER TABLE `job`
    ADD COLUMN `evaluates_job_id` VARCHAR(40) NOT NULL DEFAULT '',
    ADD COLUMN `is_archived` BOOLEAN NOT NULL DEFAULT false,
    ADD COLUMN `has_output` BOOLEAN NOT NULL DEFAULT false,
    ADD INDEX `job_tenant_evaluates`(`tenant_id`, `evaluates_job_id`, `created_at` DESC, `job_id` DESC),
    ADD INDEX `job_tenant_output`(`tenant_id`, `has_output`, `finished_at` DESC, `job_id` DESC);

CREATE TABLE `job_node` (
    `job_id` VARCHAR(40) NOT NULL,
    `node_id` VARCHAR(255) NOT NULL,
    INDEX `job_node_node`(`node_id`, `job_id`),
    PRIMARY KEY (`job_id`, `node_id`),
    CONSTRAINT `job_node_job` FOREIGN KEY (`job_id`) REFERENCES `job`(`job_id`) ON DELETE CASCADE ON UPDATE RESTRICT
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What was cached before lacks the new columns: all jobs are loaded anew.
DELETE FROM `job`;
DELETE FROM `follow_state`;
