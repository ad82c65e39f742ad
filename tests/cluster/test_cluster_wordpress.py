"""The real thing: WordPress on apache, PHP and MariaDB behind an Ingress, as the tutorials have it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackbox import GRACEFUL, INCONCLUSIVE, NOT_GRACEFUL, Ended, assert_attributed, assert_sums, measured, rollcheck
from clusterside import Cluster, Namespace

pytestmark = pytest.mark.cluster
INSTALL = Path(__file__).parents[2] / "deploy" / "examples" / "wordpress" / "install.sh"
IMAGES = {"WORDPRESS_IMAGE": "rollcheck.test/wordpress:6", "MARIADB_IMAGE": "rollcheck.test/mariadb:10"}


@pytest.fixture(scope="module")
def blog(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace with WordPress in it, installed, its / answering 200 through the Ingress."""
    asked = os.environ.get("ROLLCHECK_TEST_WORDPRESS", "")
    if asked == "0":
        pytest.skip("ROLLCHECK_TEST_WORDPRESS=0")
    if not cluster.has_ingress_class():
        pytest.skip(f"the cluster has no IngressClass {cluster.ingress_class}: cluster up --ingress")
    images = {name: os.environ.get(name, default) for name, default in IMAGES.items()}
    if asked != "1" and (missing := [image for image in images.values() if not cluster.has_image(image)]):
        pytest.skip(f"no node has {' and '.join(missing)}: make them with tests/cluster/images.sh")
    ns = cluster.new_namespace()
    settings = {"INGRESS_CLASS": cluster.ingress_class, "WORDPRESS_HOST": f"{ns.name}.example.test"}
    done = subprocess.run(
        [INSTALL, ns.name], env={**os.environ, **images, **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ns.wait_ingress("wordpress")
    yield ns
    ns.delete()


def check(ns: Namespace, folder: Path) -> Ended:
    """`rollcheck run` on it, at a rate that two cores can serve."""
    load = ("--qps", "8", "--timeout", "10s", "--baseline", "6s", "--tail", "6s")
    return measured(lambda out: check_once(ns, out, *load), folder, repeatable=True)


def check_once(ns: Namespace, out: Path, *load: str) -> Ended:
    base = ("run", "--deploy", "wordpress", "-n", ns.name, "--out", str(out), "-o", "json", "--yes")
    return rollcheck(*base, *load, out=out)


@pytest.fixture(scope="module")
def stock_run(blog: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return check(blog, tmp_path_factory.mktemp("stock"))


def test_a_restart_of_the_stock_wordpress_is_not_graceful(stock_run):
    assert stock_run.code == NOT_GRACEFUL, stock_run
    assert_sums(stock_run)
    assert_attributed(stock_run)


def test_its_502s_are_explained(stock_run):
    assert any(name.endswith("bad_status 502") for name in stock_run.lost()), stock_run
    assert stock_run.modes[0] == 1, stock_run
    assert set(stock_run.modes) <= {1, 4}, stock_run
    assert stock_run.result["unattributed"] == [], stock_run


def test_it_is_asked_through_the_ingress_by_its_host(stock_run, blog):
    target = stock_run.result["target"]

    assert target["route"] == "ingress", stock_run
    assert f"{blog.name}.example.test" in target["url"], stock_run


def test_with_the_fix_that_is_printed_the_next_restart_is_graceful(stock_run, blog, tmp_path):
    fix = stock_run.cause(1)["fix"]
    blog.kubectl("patch", "deployment", "wordpress", "--patch", fix)
    blog.wait_available("wordpress")

    run = check(blog, tmp_path)

    assert run.code == GRACEFUL, run
    assert run.result["attempts"]["failed"] == 0, run
    assert_sums(run)


def test_a_rate_that_it_cannot_serve_is_not_a_lost_rollout(blog, tmp_path):
    run = check_once(blog, tmp_path / "run", "--qps", "60", "--timeout", "2s", "--baseline", "5s", "--tail", "2s")

    assert run.code == INCONCLUSIVE, run
    assert run.result["baseline"]["attempts"]["failed"] > 0, run
    assert run.result["reasons"], run
    assert_sums(run)
