CREATE TABLE `job` (
    `job_id` VARCHAR(40) NOT NULL,
    `tenant_id` VARCHAR(64) NOT NULL,
    `revision` BIGINT NOT NULL,
    `user_id` VARCHAR(255) NOT NULL,
    `name` VARCHAR(255) NOT NULL,
    `status` VARCHAR(20) NOT NULL,
    `training_type` VARCHAR(20) NOT NULL,
    `framework` VARCHAR(20) NOT NULL,
    `base_model` VARCHAR(500) NOT NULL,
    `queue` VARCHAR(64) NOT NULL,
    `priority` INTEGER NOT NULL,
    `content_hash` VARCHAR(80) NOT NULL,
    `is_evaluation` BOOLEAN NOT NULL DEFAULT false,
    `created_at` DATETIME(3) NOT NULL,
    `started_at` DATETIME(3) NULL,
    `finished_at` DATETIME(3) NULL,
    `synced_at` DATETIME(3) NOT NULL,
    `document` LONGTEXT NOT NULL,
    INDEX `job_tenant_created`(`tenant_id`, `created_at` DESC, `job_id` DESC),
    INDEX `job_tenant_status_created`(`tenant_id`, `status`, `created_at` DESC, `job_id` DESC),
    PRIMARY KEY (`job_id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `job_label` (
    `job_id` VARCHAR(40) NOT NULL,
    `key` VARCHAR(128) NOT NULL,
    `value` VARCHAR(255) NOT NULL,
    INDEX `job_label_key_value`(`key`, `value`, `job_id`),
    PRIMARY KEY (`job_id`, `key`),
    CONSTRAINT `job_label_job` FOREIGN KEY (`job_id`) REFERENCES `job`(`job_id`) ON DELETE CASCADE ON UPDATE RESTRICT
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `follow_state` (
    `id` INTEGER NOT NULL,
    `cursor` VARCHAR(255) NOT NULL,
    `heard_at` DATETIME(3) NOT NULL,
    PRIMARY KEY (`id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `cluster_snapshot` (
    `tenant_id` VARCHAR(64) NOT NULL,
    `kind` VARCHAR(20) NOT NULL,
    `synced_at` DATETIME(3) NOT NULL,
    `document` LONGTEXT NOT NULL,
    PRIMARY KEY (`tenant_id`, `kind`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `api_key` (
    `key_id` VARCHAR(40) NOT NULL,
    `tenant_id` VARCHAR(64) NOT NULL,
    `user_id` VARCHAR(255) NOT NULL,
    `name` VARCHAR(255) NOT NULL,
    `hash` CHAR(64) NOT NULL,
    `prefix` VARCHAR(16) NOT NULL,
    `grants` VARCHAR(500) NOT NULL,
    `created_at` DATETIME(3) NOT NULL,
    `expires_at` DATETIME(3) NULL,
    `revoked_at` DATETIME(3) NULL,
    UNIQUE INDEX `api_key_hash`(`hash`),
    INDEX `api_key_tenant`(`tenant_id`, `created_at` DESC),
    PRIMARY KEY (`key_id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
