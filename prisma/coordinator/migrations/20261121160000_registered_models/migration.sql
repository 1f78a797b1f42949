-- Models that jobs registered by name. Their files lie in the data folder, under the tenant, the name and the hash.
CREATE TABLE `registered_model` (
    `registered_model_id` VARCHAR(40) NOT NULL,
    `tenant_id` VARCHAR(64) NOT NULL,
    `name` VARCHAR(128) NOT NULL,
    `content_hash` VARCHAR(80) NOT NULL,
    `kind` VARCHAR(32) NOT NULL,
    `model_type` VARCHAR(64) NOT NULL DEFAULT '',
    `lora_rank` INTEGER NOT NULL DEFAULT 0,
    `base_model` LONGTEXT NOT NULL,
    `base_path` TEXT NOT NULL,
    `files` LONGTEXT NOT NULL,
    `bytes` BIGINT NOT NULL,
    `job_id` VARCHAR(40) NOT NULL,
    `checkpoint_id` VARCHAR(64) NULL,
    `step` BIGINT NULL,
    `current` BOOLEAN NOT NULL DEFAULT false,
    `registered_at` DATETIME(3) NOT NULL,
    `deleting` BOOLEAN NOT NULL DEFAULT false,

    UNIQUE INDEX `registered_model_content`(`tenant_id`, `name`, `content_hash`),
    INDEX `registered_model_tenant_registered`(`tenant_id`, `registered_at` DESC, `registered_model_id` DESC),
    INDEX `registered_model_job`(`job_id`),
    PRIMARY KEY (`registered_model_id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
