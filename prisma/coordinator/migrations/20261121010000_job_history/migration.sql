-- The changes of a job's state are few among its events, most of which tell its progress.
ALTER TABLE `job_event` ADD INDEX `job_event_history`(`job_id`, `type`, `sequence`);
