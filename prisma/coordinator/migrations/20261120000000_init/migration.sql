CREATE TABLE `job` (
    `job_id` VARCHAR(40) NOT NULL,
    `tenant_id` VARCHAR(64) NOT NULL,
    `user_id` VARCHAR(255) NOT NULL DEFAULT '',
    `revision` BIGINT NOT NULL DEFAULT 1,
    `name` VARCHAR(255) NOT NULL,
    `status` VARCHAR(20) NOT NULL,
    `wanted` VARCHAR(10) NOT NULL DEFAULT 'RUN',
    `save_checkpoint` BOOLEAN NOT NULL DEFAULT true,
    `message` VARCHAR(1000) NOT NULL DEFAULT '',
    `spec` LONGTEXT NOT NULL,
    `labels` LONGTEXT NOT NULL,
    `training_type` VARCHAR(20) NOT NULL,
    `queue` VARCHAR(64) NOT NULL,
    `priority` INTEGER NOT NULL,
    `preemptible` BOOLEAN NOT NULL DEFAULT false,
    `max_retries` INTEGER NOT NULL DEFAULT 0,
    `failures` INTEGER NOT NULL DEFAULT 0,
    `attempt` INTEGER NOT NULL DEFAULT 0,
    `next_cause` VARCHAR(10) NOT NULL DEFAULT 'FIRST',
    `from_checkpoint` VARCHAR(64) NULL,
    `progress` LONGTEXT NULL,
    `failure` LONGTEXT NULL,
    `output` LONGTEXT NULL,
    `final_evaluation` LONGTEXT NULL,
    `content_hash` VARCHAR(80) NOT NULL DEFAULT '',
    `unreachable` BOOLEAN NOT NULL DEFAULT false,
    `not_before` DATETIME(3) NULL,
    `queued_at` DATETIME(3) NULL,
    `created_at` DATETIME(3) NOT NULL,
    `started_at` DATETIME(3) NULL,
    `finished_at` DATETIME(3) NULL,
    `updated_at` DATETIME(3) NOT NULL,
    INDEX `job_tenant_created`(`tenant_id`, `created_at` DESC, `job_id` DESC),
    INDEX `job_queue_order`(`status`, `priority` DESC, `queued_at`),
    PRIMARY KEY (`job_id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `attempt` (
    `job_id` VARCHAR(40) NOT NULL,
    `number` INTEGER NOT NULL,
    `cause` VARCHAR(10) NOT NULL,
    `token` VARCHAR(64) NOT NULL,
    `handle` LONGTEXT NULL,
    `placement` LONGTEXT NOT NULL,
    `from_checkpoint` VARCHAR(64) NULL,
    `events_applied` INTEGER NOT NULL DEFAULT 0,
    `submitted_at` DATETIME(3) NOT NULL,
    `started_at` DATETIME(3) NULL,
    `finished_at` DATETIME(3) NULL,
    `exit_code` INTEGER NULL,
    `signal` VARCHAR(16) NOT NULL DEFAULT '',
    INDEX `attempt_finished`(`finished_at`),
    PRIMARY KEY (`job_id`, `number`),
    CONSTRAINT `attempt_job` FOREIGN KEY (`job_id`) REFERENCES `job`(`job_id`) ON DELETE CASCADE ON UPDATE RESTRICT
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `checkpoint` (
    `checkpoint_id` VARCHAR(64) NOT NULL,
    `job_id` VARCHAR(40) NOT NULL,
    `tenant_id` VARCHAR(64) NOT NULL,
    `attempt` INTEGER NOT NULL,
    `step` BIGINT NOT NULL,
    `path` TEXT NOT NULL,
    `bytes` BIGINT NOT NULL,
    `metrics` LONGTEXT NOT NULL,
    `created_at` DATETIME(3) NOT NULL,
    `deleted_at` DATETIME(3) NULL,
    INDEX `checkpoint_job_step`(`job_id`, `step` DESC),
    PRIMARY KEY (`checkpoint_id`),
    CONSTRAINT `checkpoint_job` FOREIGN KEY (`job_id`) REFERENCES `job`(`job_id`) ON DELETE CASCADE ON UPDATE RESTRICT
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `job_event` (
    `sequence` BIGINT NOT NULL,
    `tenant_id` VARCHAR(64) NOT NULL,
    `job_id` VARCHAR(40) NOT NULL,
    `type` VARCHAR(20) NOT NULL,
    `from_status` VARCHAR(20) NOT NULL,
    `to_status` VARCHAR(20) NOT NULL,
    `message` VARCHAR(1000) NOT NULL DEFAULT '',
    `attempt` INTEGER NOT NULL DEFAULT 0,
    `time` DATETIME(3) NOT NULL,
    `job` LONGTEXT NULL,
    INDEX `job_event_tenant`(`tenant_id`, `sequence`),
    INDEX `job_event_job`(`job_id`, `sequence`),
    PRIMARY KEY (`sequence`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `event_counter` (
    `id` INTEGER NOT NULL,
    `value` BIGINT NOT NULL,
    PRIMARY KEY (`id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO `event_counter` (`id`, `value`) VALUES (1, 0);

CREATE TABLE `idempotency_record` (
    `tenant_id` VARCHAR(64) NOT NULL,
    `method` VARCHAR(32) NOT NULL,
    `key` VARCHAR(255) NOT NULL,
    `request_hash` CHAR(64) NOT NULL,
    `job_id` VARCHAR(40) NOT NULL,
    `answer` LONGTEXT NOT NULL,
    `created_at` DATETIME(3) NOT NULL,
    INDEX `idempotency_created`(`created_at`),
    PRIMARY KEY (`tenant_id`, `method`, `key`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `node` (
    `node_id` VARCHAR(255) NOT NULL,
    `draining` BOOLEAN NOT NULL DEFAULT false,
    `reason` VARCHAR(1000) NOT NULL DEFAULT '',
    `updated_at` DATETIME(3) NOT NULL,
    PRIMARY KEY (`node_id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
