#!/bin/sh
#SBATCH -J "monte carlo" -A proj42 -p short,long
#SBATCH	-N1-4 -n 64 -c2
#SBATCH -t 30 -a 1-100%10
#SBATCH -o out-%A_%a.txt -e /dev/null -i input.txt
#SBATCH -d afterok:12:13,singleton -L matlab:2 -C "haswell|broadwell"
#SBATCH -w n[01-04] -x n09 -B 2:8:1 -m cyclic:block -S 1
#SBATCH -G 2 -b now+1hour -k -O -q normal -D /scratch/alice/run
