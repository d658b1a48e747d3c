-- What sites do at submission: rewrite, warn, refuse. See tests/hard_site.

function slurm_job_submit(job, partitions, uid)
   if job.name == "refused" then
      slurm.log_user("The site does not run jobs of this name: see https://site.example/names")
      return slurm.ERROR
   end
   if job.name == "wordless" then
      return slurm.ERROR
   end
   if job.partition == "debug" then
      job.partition = "normal"
      slurm.log_user("Partition debug is closed today: your job goes to normal.")
   end
   if job.account == "chemistry" then
      job.account = "physics"
   end
   if job.time_limit == slurm.NO_VAL then
      slurm.log_user("Please say how long your job runs (--time).")
   end
   return slurm.SUCCESS
end

function slurm_job_modify(job, record, partitions, uid)
   return slurm.SUCCESS
end

return slurm.SUCCESS
