"""How fast this machine is, at which batch size, and what an hour of audio costs.

    whisperbatch bench interviews/ --model small --price-per-hour 1.20
    whisperbatch bench --model random:large-v3 --tokens-per-window 110

The first command measures throughput against batch size on your recordings; the second needs
neither recordings nor a download. random:tiny to random:turbo have the dimensions of OpenAI's
models but random weights: they are for measuring speed only, their text is meaningless (every
output says so), and transcribe refuses them. Figures are medians over --rounds, taken in turn.
Each batch size is measured in one engine; the last row, auto, is what a run chooses, on a CPU
perhaps several engines side by side. The figures of each size are printed after each of its
rounds, and an upper limit for the whole time before them. Ctrl-C ends the measurement: tables
and files then contain what was measured, and the exit code is 130. --profile shows where the
time of a whole run goes, and with --speakers auto how much of it finding speakers takes. --plot
bench.png draws the graph and needs "pip install matplotlib".
"""

OPTIONS = (
    *("--batch-sizes", "--rounds", "--tokens-per-window", "--arrivals", "--n-arrivals", "--max-waits"),
    *("--compare-load-workers", "--profile", "--price-per-hour", "--json", "--plot"),
)
