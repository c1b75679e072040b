#!/bin/bash
# A sweep in ten parts on a SLURM cluster, from the project's root. What the methods prepare is made once, before:
#   .venv/bin/anytime sweep params/paper/gpt-oss-20b.yaml --prepare
#   sbatch --wait docs/slurm.sh params/paper/gpt-oss-20b.yaml
#   .venv/bin/anytime merge params/paper/gpt-oss-20b.yaml
# Parts that failed are submitted again by their numbers (sbatch --array=3,7 ...); they go on where they were.
#SBATCH --array=0-9
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@60
# With a server of its own for each part, begin it here, as in: vllm serve openai/gpt-oss-20b & and raise what is asked for.
exec .venv/bin/anytime sweep "$1" --shard "$SLURM_ARRAY_TASK_ID/10"
