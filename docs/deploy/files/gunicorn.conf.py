"""gunicorn -c gunicorn.conf.py app:app"""

bind = "127.0.0.1:8000"

# One process for each address. Threads work on pages; clients that are connected hold none.
workers = 1
worker_class = "gthread"
threads = 8

# SIGTERM and a reload wait so long for pages. Then clients are told, and come back to the new worker.
graceful_timeout = 10

# A restart now and then, if your code leaks. Each poll and each POST of a client that polls counts as a request.
# max_requests = 100_000
# max_requests_jitter = 10_000
