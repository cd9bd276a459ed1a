"""Training processes: started detached, queued, stopped, resumed and deleted; the run folders are the only truth.

``job.json`` in a run folder holds the command line that trains it and whether it waits in the queue.
"""

from app.jobs.actions import delete, describe, resume, set_at_once, start, stop
from app.jobs.estimates import Estimate, estimate
from app.jobs.folders import folder_of, names
from app.jobs.limits import at_once, most_at_once, read_only
from app.jobs.orders import FORBIDDEN_SETTINGS, Expansion, Order, as_text
from app.jobs.queue import advance, keep_queue
from app.jobs.status import LIVE, Job, config_of, job, jobs, log_tail, read_events

__all__ = [
    "FORBIDDEN_SETTINGS",
    "LIVE",
    "Estimate",
    "Expansion",
    "Job",
    "Order",
    "advance",
    "as_text",
    "at_once",
    "config_of",
    "delete",
    "describe",
    "estimate",
    "folder_of",
    "job",
    "jobs",
    "keep_queue",
    "log_tail",
    "most_at_once",
    "names",
    "read_events",
    "read_only",
    "resume",
    "set_at_once",
    "start",
    "stop",
]
