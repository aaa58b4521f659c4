"""Run with the site's settings: makes a pair whose upgrade is under way, and a fleet; prints the job's id."""

from datetime import timedelta

import django
from django.utils import timezone

django.setup()

from told_fleet import tell_fleet  # noqa: E402

from staffetta.kernel.clock import format_time  # noqa: E402
from staffetta.kernel.ids import new_id  # noqa: E402
from staffetta.site.data.models import SiteInstance  # noqa: E402
from staffetta.site.failover import job_record, job_store  # noqa: E402
from staffetta.site.failover.job_record import Targets  # noqa: E402
from staffetta.site.failover.models import Relationship  # noqa: E402

now = timezone.now()
SiteInstance.objects.update(role="primary", role_term=7)
sync = {"finished_at": format_time(now), "records_behind": 41, "blobs_behind": 2, "bytes_behind": 48_000_000}
Relationship.objects.create(
    peer_origin="other", peer_key=b"k" * 32, peer_host="support-b.example.com", peer_port=8443,
    own_host="support-a.example.com", own_port=443, peer_leaf="0" * 64, established_at=now, seen_at=now, looked_at=now,
    peer_role="backup", peer_term=7, peer_version="2.0.0", peer_picture={"sync": sync, "suspended": True},
)  # fmt: skip
job = job_record.begin(
    new_id(),
    a=SiteInstance.objects.get().id,
    b="other",
    targets=Targets("2.1.0", "1.3.0"),
    actor="admin",
    now=now - timedelta(minutes=2),
)
job = job_record.step_done(job, "All checks hold.", now - timedelta(seconds=110))
job = job_record.again(job, job.step, "The disk of support-a.example.com is full.", now - timedelta(seconds=60))
job_store.add(job, None)
tell_fleet()
print(job.id)
