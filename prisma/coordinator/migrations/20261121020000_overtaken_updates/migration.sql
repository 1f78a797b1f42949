-- Updates that later events have overtaken are found in their order, without reading the jobs in them.
ALTER TABLE `job_event` ADD INDEX `job_event_updates`(`type`, `sequence`, `job_id`, `time`);
