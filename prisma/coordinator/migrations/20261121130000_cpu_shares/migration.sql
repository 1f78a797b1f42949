-- Attempts from before shares were kept: eight CPU slots of those without GPUs count as one.
UPDATE `attempt` JOIN `job` ON `job`.`job_id` = `attempt`.`job_id`
SET `attempt`.`share` = COALESCE(JSON_VALUE(`job`.`spec`, '$.resource_config.cpus_per_node') * JSON_VALUE(`job`.`spec`, '$.resource_config.num_nodes'), 0) / 8
WHERE `attempt`.`gpus` = 0 AND `attempt`.`share` = 0;
