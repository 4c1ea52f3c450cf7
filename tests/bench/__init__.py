"""The benchmark: `make bench`, or `python -m tests.bench`. See docs/benchmarks.md.

    load/            the load generator, in C
    apps/            one application, on this library and on the others
    generator.py     compiles the load generator and runs it
    cores.py         who runs on which core
    peers.py         fetches the others: a virtual environment and npm packages under .cache/bench
    servers.py       starts one server and ends it
    workloads.py     what is measured, on whom
    results.py       rows, medians, files of them
    run.py           servers and workloads in turn
    goals.py         what is to be reached, and whether it was
    table.py         Markdown
    charts.py        SVG
    page.py          puts both into a documentation page
"""
