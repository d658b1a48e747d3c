#!/usr/bin/env python3
#SBATCH --job-name='parameter scan'
#SBATCH --gres gpu:1,shard:2 --gres-flags=enforce-binding
#SBATCH --hint=nomultithread --profile=task --acctg-freq=task=10
#SBATCH --nice --propagate=STACK,MEMLOCK --wckey=w1

"""Scans."""
#SBATCH --time=5
import os
