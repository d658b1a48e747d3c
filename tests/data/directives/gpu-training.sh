#!/bin/bash -l
#
# Train on two nodes.
#SBATCH --job-name=train-resnet      # shown by squeue
#SBATCH --account=proj42
#SBATCH --partition=gpu
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=a100:4
#SBATCH --cpus-per-task=16
#SBATCH --mem=480GB
#SBATCH --time=1-12:00:00
#SBATCH --output=logs/%x-%j.out
#SBATCH --error=logs/%x-%j.err
#SBATCH --mail-type=BEGIN,END
#SBATCH --mail-type=fail
#SBATCH --mail-user=alice@example.org
#SBATCH --exclusive
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
##SBATCH --qos=debug
# SBATCH --reservation=course

module load cuda
#SBATCH --nodes=64
srun python train.py
