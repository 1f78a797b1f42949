ALTER TABLE `job`
    ADD COLUMN `data_hashes` LONGTEXT NULL,
    ADD COLUMN `code` LONGTEXT NULL,
    ADD COLUMN `evaluation` LONGTEXT NULL,
    ADD COLUMN `is_evaluation` BOOLEAN NOT NULL DEFAULT false,
    ADD COLUMN `evaluates_job_id` VARCHAR(40) NULL,
    ADD COLUMN `archived_at` DATETIME(3) NULL,
    ADD INDEX `job_tenant_finished`(`tenant_id`, `finished_at`),
    ADD INDEX `job_evaluates`(`evaluates_job_id`);

ALTER TABLE `attempt` ADD COLUMN `evicted` VARCHAR(1000) NULL;

ALTER TABLE `node` ADD COLUMN `evict_at` DATETIME(3) NULL;

CREATE TABLE `dataset` (
    `dataset_id` VARCHAR(40) NOT NULL,
    `tenant_id` VARCHAR(64) NOT NULL,
    `user_id` VARCHAR(255) NOT NULL DEFAULT '',
    `name` VARCHAR(255) NOT NULL,
    `format` VARCHAR(32) NOT NULL,
    `bytes` BIGINT NOT NULL,
    `records` BIGINT NOT NULL,
    `tokens_estimate` BIGINT NOT NULL,
    `content_hash` VARCHAR(80) NOT NULL,
    `sample` LONGTEXT NOT NULL,
    `created_at` DATETIME(3) NOT NULL,
    UNIQUE INDEX `dataset_tenant_content`(`tenant_id`, `content_hash`),
    INDEX `dataset_tenant_created`(`tenant_id`, `created_at` DESC, `dataset_id` DESC),
    PRIMARY KEY (`dataset_id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `dataset_copy` (
    `dataset_id` VARCHAR(40) NOT NULL,
    `node_id` VARCHAR(255) NOT NULL,
    `path` TEXT NOT NULL,
    `bytes` BIGINT NOT NULL,
    `pinned` BOOLEAN NOT NULL DEFAULT false,
    `last_used` DATETIME(3) NOT NULL,
    INDEX `dataset_copy_node_used`(`node_id`, `last_used`),
    PRIMARY KEY (`dataset_id`, `node_id`),
    CONSTRAINT `dataset_copy_dataset` FOREIGN KEY (`dataset_id`) REFERENCES `dataset`(`dataset_id`) ON DELETE CASCADE ON UPDATE RESTRICT
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `file_hash` (
    `path_hash` CHAR(64) NOT NULL,
    `bytes` BIGINT NOT NULL,
    `mtime` BIGINT NOT NULL,
    `inode` BIGINT NOT NULL,
    `content_hash` VARCHAR(80) NOT NULL,
    `records` BIGINT NOT NULL,
    `hashed_at` DATETIME(3) NOT NULL,
    PRIMARY KEY (`path_hash`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `retention_plan` (
    `plan_id` VARCHAR(40) NOT NULL,
    `tenant_id` VARCHAR(64) NOT NULL,
    `state` VARCHAR(10) NOT NULL DEFAULT 'PLANNED',
    `document` LONGTEXT NOT NULL,
    `created_at` DATETIME(3) NOT NULL,
    INDEX `retention_plan_created`(`created_at`),
    PRIMARY KEY (`plan_id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
