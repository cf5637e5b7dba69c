"""Configurations, by subject; found under these names from any working directory.

models/<family>/<size>.gin   an architecture, as MODEL; one file a published size
data/<name>.gin              a task or mixture, as TASK; MIXTURE_OR_TASK_NAME names it
runs/                        what is done: pretrain, finetune, eval, infer, demo

Give a model and a run: --gin_file=models/t5_1_1/small.gin --gin_file=runs/pretrain.gin
"""
