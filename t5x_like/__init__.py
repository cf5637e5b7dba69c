"""The engine: from a configuration to a trained, evaluated, sampled model.

main, flags         the command line
config              gin in, Run out; behind it search, statements, usage, schema,
                    builder, operative (what is written into a run directory)
run, identity       everything a run is made of; what makes two runs the same
inspect, kernels    what a configuration means: parameters, memory, FLOPs, attention
train               the loop; read it top to bottom
engine, step, state, losses, optim, schedules     what a step computes
loss_scale, rounding, noise                       16 bits; how large a batch
evaluate, infer, decode/                          what a trained model does
checkpoint, rundir, signals                       what survives a restart
metrics, ledger, progress, plot                   what a run says about itself
host                process settings that make it fast
data/               files in, batches out; never imports JAX
"""
