"""How fast this machine is, at which batch size, and what an hour of audio costs.

    whisperbatch bench interviews/ --model small --price-per-hour 1.20
    whisperbatch bench --model random:large-v3 --tokens-per-window 110

The first measures throughput against batch size from your recordings; the second needs neither
recordings nor a download. random:tiny to random:turbo have the shapes of OpenAI's models and
random weights: their speed means something, their text nothing, every output says so, and
transcribe refuses them. Figures are medians over --rounds, taken in turn. Sizes are measured in
one engine; the last row, auto, is what a run takes by itself, on a CPU perhaps several engines
side by side. Each size's figures are printed after each of its rounds, the time that all may take
at most before them. Ctrl-C ends the measurement: tables and files then hold what was measured, and
the exit code is 130. --profile shows where the time of a whole run goes, --speakers auto also how
much of it finding speakers takes. --plot bench.png draws the graph and needs
"pip install matplotlib".
"""

OPTIONS = (
    *("--batch-sizes", "--rounds", "--tokens-per-window", "--arrivals", "--n-arrivals", "--max-waits"),
    *("--compare-load-workers", "--profile", "--price-per-hour", "--json", "--plot"),
)
