#!/bin/bash
#SBATCH --nodes=1 --mem=64G
#SBATCH hetjob
#SBATCH --nodes=16
srun ./head : ./workers
