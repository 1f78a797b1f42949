-- Which coordinator is active. One row: it is locked, shared, by every write, and changed by who takes or renews the lease.
CREATE TABLE `coordinator_lease` (
    `id` INTEGER NOT NULL,
    `epoch` BIGINT NOT NULL,
    `holder` VARCHAR(512) NOT NULL DEFAULT '',
    `address` VARCHAR(300) NOT NULL DEFAULT '',
    `expires_at` DATETIME(3) NOT NULL,

    PRIMARY KEY (`id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

INSERT INTO `coordinator_lease` (`id`, `epoch`, `expires_at`) VALUES (1, 0, '1970-01-01 00:00:00.000');
