-- What was cached before lacks the new columns: all jobs are loaded anew.
DELETE FROM `job`;
DELETE FROM `follow_state`;

ALTER TABLE `job`
    ADD COLUMN `message` LONGTEXT NOT NULL,
    ADD COLUMN `gpu_seconds` DOUBLE NOT NULL,
    ADD COLUMN `evaluates_job_id` VARCHAR(40) NOT NULL DEFAULT '',
    ADD COLUMN `is_archived` BOOLEAN NOT NULL DEFAULT false,
    ADD COLUMN `has_output` BOOLEAN NOT NULL DEFAULT false,
    ADD COLUMN `updated_at` DATETIME(3) NOT NULL,
    DROP INDEX `job_tenant_created`,
    DROP INDEX `job_tenant_status_created`,
    ADD INDEX `job_list_created`(`tenant_id`, `is_evaluation`, `is_archived`, `created_at` DESC, `job_id` DESC),
    ADD INDEX `job_list_started`(`tenant_id`, `is_evaluation`, `is_archived`, `started_at` DESC, `job_id` DESC),
    ADD INDEX `job_list_finished`(`tenant_id`, `is_evaluation`, `is_archived`, `finished_at` DESC, `job_id` DESC),
    ADD INDEX `job_list_updated`(`tenant_id`, `is_evaluation`, `is_archived`, `updated_at` DESC, `job_id` DESC),
    ADD INDEX `job_list_priority`(`tenant_id`, `is_evaluation`, `is_archived`, `priority` DESC, `job_id` DESC),
    ADD INDEX `job_list_name`(`tenant_id`, `is_evaluation`, `is_archived`, `name` DESC, `job_id` DESC),
    ADD INDEX `job_list_status`(`tenant_id`, `is_evaluation`, `is_archived`, `status` DESC, `job_id` DESC),
    ADD INDEX `job_list_status_created`(`tenant_id`, `is_evaluation`, `is_archived`, `status`, `created_at` DESC, `job_id` DESC),
    ADD INDEX `job_tenant_user`(`tenant_id`, `user_id`, `created_at` DESC, `job_id` DESC),
    ADD INDEX `job_tenant_content`(`tenant_id`, `content_hash`, `created_at` DESC, `job_id` DESC),
    ADD INDEX `job_tenant_evaluates`(`tenant_id`, `evaluates_job_id`, `created_at` DESC, `job_id` DESC),
    ADD INDEX `job_tenant_output`(`tenant_id`, `has_output`, `finished_at` DESC, `job_id` DESC);

ALTER TABLE `job_label`
    ADD COLUMN `tenant_id` VARCHAR(64) NOT NULL,
    ADD COLUMN `created_at` DATETIME(3) NOT NULL,
    DROP INDEX `job_label_key_value`,
    ADD INDEX `job_label_list`(`tenant_id`, `key`, `value`, `created_at` DESC, `job_id` DESC),
    ADD INDEX `job_label_key`(`tenant_id`, `key`, `created_at` DESC, `job_id` DESC);

CREATE TABLE `job_node` (
    `job_id` VARCHAR(40) NOT NULL,
    `node_id` VARCHAR(255) NOT NULL,
    `tenant_id` VARCHAR(64) NOT NULL,
    `created_at` DATETIME(3) NOT NULL,
    INDEX `job_node_list`(`tenant_id`, `node_id`, `created_at` DESC, `job_id` DESC),
    PRIMARY KEY (`job_id`, `node_id`),
    CONSTRAINT `job_node_job` FOREIGN KEY (`job_id`) REFERENCES `job`(`job_id`) ON DELETE CASCADE ON UPDATE RESTRICT
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

ALTER TABLE `api_key` ADD COLUMN `last_used_at` DATETIME(3) NULL;
