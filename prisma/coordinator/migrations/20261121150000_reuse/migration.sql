-- Finished jobs are looked up by what they are made of.
CREATE INDEX `job_tenant_content` ON `job` (`tenant_id`, `content_hash`, `finished_at` DESC);
