"""Gates and the clock in the whole: trips, critical events, outages, evidence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from outside import Operator, world
from way_data import settings

At = Callable[[str], Operator]


def test_an_error_rate_over_the_bound_pauses_and_says_why(at: At) -> None:
    operator = at("Canary/Observing")
    operator.world.errors_per_second = 2.0
    operator.pass_time(200)
    pause = operator.status["pause"]
    assert pause["cause"] == "GateFailed"
    assert "error-rate" in pause["message"]
    assert operator.condition("Ready")["status"] == "False"
    operator.pass_time(600)
    assert operator.place == "Canary/Observing"  # latched: nothing but a person goes on


def test_on_failure_rollback_goes_back(at: At) -> None:
    operator = at("Canary/Observing")
    operator.world.migration["spec"]["phases"][0]["onFailure"] = "Rollback"
    operator.world.errors_per_second = 2.0
    operator.run("RolledBack/")
    assert settings(operator.world)[-1] == ("fs", "0", "true")
    assert operator.status["rollback"]["cause"] == "GateFailed"


def test_slow_requests_trip_the_latency_gate(at: At) -> None:
    operator = at("Canary/Observing")
    operator.world.slow_share = 0.6
    operator.pass_time(200)
    assert "put-latency" in operator.status["pause"]["message"]


def test_one_divergence_acts_at_once_in_an_observed_phase(at: At) -> None:
    operator = at("Canary/Observing")
    operator.pass_time(35)
    operator.world.divergences = 1
    operator.pass_time(31)
    assert operator.status["pause"]["cause"] == "CriticalGateFailed"


@pytest.mark.parametrize("place", ["Canary/WarmUp", "Completing/ApproveCutOver", "Completing/Hold"])
def test_a_critical_gate_acts_outside_windows_too(at: At, place: str) -> None:
    operator = at(place)
    operator.world.job_seconds = 1000
    operator.pass_time(10)
    operator.world.divergences = 1
    operator.pass_time(45)
    assert operator.status["pause"]["cause"] == "CriticalGateFailed"
    assert operator.place == place


def test_a_critical_gate_acts_in_pause_and_suspension(at: At) -> None:
    operator = at("Canary/Observing")
    operator.world.migration["spec"]["phases"][0]["onFailure"] = "Rollback"
    operator.command("pause.1.p1")
    operator.world.migration["spec"]["suspend"] = True
    operator.pass_time(60)
    operator.world.divergences = 1
    operator.run("RolledBack/")
    assert operator.status["rollback"]["cause"] == "CriticalGateFailed"


def test_after_the_cut_over_a_critical_failure_pauses_and_never_rolls_back(at: At) -> None:
    operator = at("Completing/Soak")
    operator.world.divergences = 1
    operator.pass_time(120)
    assert operator.status["pause"]["cause"] == "CriticalGateFailed"
    assert settings(operator.world)[-1] == ("kv_only", "1", "false")


def test_a_resumed_critical_pause_needs_a_new_event_to_pause_again(at: At) -> None:
    operator = at("Canary/Observing")
    operator.world.divergences = 1
    operator.pass_time(60)
    operator.command(f"resume.1.{operator.status['pause']['id']}")
    operator.run("FullOut/")


def test_a_prometheus_outage_stops_the_clock_alerts_once_and_never_rolls_back(at: At) -> None:
    operator = at("Canary/Observing")
    operator.world.migration["spec"]["prometheus"]["outageAlertAfterSeconds"] = 120
    operator.world.migration["spec"]["phases"][0]["onFailure"] = "Rollback"
    operator.pass_time(95)
    before = operator.status["observation"]["observedSeconds"]
    operator.world.prometheus_up = operator.world.scraping = False
    operator.pass_time(900)  # longer than the failure window
    assert operator.status["observation"]["observedSeconds"] == before
    assert operator.condition("MetricsAvailable")["reason"] == "PrometheusUnreachable"
    alerts = [e for e in operator.world.events if e.reason == "PrometheusUnreachable"]
    assert len(alerts) == 1
    assert operator.place == "Canary/Observing"
    samples = operator.status["gates"][0]["samples"]
    operator.world.prometheus_up = operator.world.scraping = True
    operator.pass_time(70)
    assert operator.condition("MetricsAvailable")["status"] == "True"
    # What the counters had before the outage is not counted a second time.
    assert operator.status["gates"][0]["samples"] < 2 * samples
    operator.run("FullOut/")


def test_errors_in_a_gap_are_found_by_the_last_judgement(at: At) -> None:
    operator = at("Canary/Observing")
    operator.world.migration["spec"]["evaluation"]["minimumCoveragePercent"] = 10
    operator.pass_time(160)
    operator.world.prometheus_up = False  # scraped, but the operator cannot ask
    operator.world.errors_per_second = 1.0
    operator.pass_time(120)
    operator.world.errors_per_second = 0.0
    operator.pass_time(180)  # until the failure window holds none of them
    operator.world.prometheus_up = True
    operator.pass_time(300)
    assert "pause" not in operator.status
    # Every interval that was seen was good, and the window is long enough; the whole of it is not.
    assert operator.place == "Canary/Observing"
    error_rate = operator.status["gates"][0]
    assert error_rate["bad"] >= 100


def test_zero_traffic_is_never_a_pass(at: At) -> None:
    operator = at("Canary/WarmUp")
    operator.world.requests_per_second = 0.0
    operator.pass_time(1200)
    assert operator.place == "Canary/Observing"
    assert operator.status["observation"]["observedSeconds"] == 0
    assert {g["verdict"] for g in operator.status["gates"][:3]} == {"NoData"}


def test_too_little_evidence_waits_and_says_how_much_is_missing() -> None:
    outside = world()
    outside.migration["spec"]["gates"][0]["max"] = "0.00001"
    operator = Operator(outside)
    operator.run("Canary/Observing")
    operator.pass_time(700)
    assert operator.place == "Canary/Observing"
    assert operator.status["observation"]["observedSeconds"] >= 300
    gate = operator.status["gates"][0]
    assert gate["verdict"] == "Insufficient"
    assert gate["samplesNeeded"] > 200_000
    assert "more samples needed" in operator.status["message"]


def test_too_little_evidence_asks_where_a_person_may_decide() -> None:
    outside = world()
    outside.migration["spec"]["gates"][0]["max"] = "0.00001"
    outside.migration["spec"]["gates"][0]["evidence"]["onInsufficient"] = "RequireApproval"
    operator = Operator(outside)
    operator.run("Canary/Observing")
    operator.pass_time(500)
    pending = operator.status["pendingApproval"]
    assert pending["step"] == "Canary"
    assert "bound reached" in pending["shown"]
    operator.approve()
    operator.run("FullOut/")


def test_a_restart_of_the_container_counts_and_one_by_a_switch_does_not(at: At) -> None:
    operator = at("Canary/Observing")
    operator.pass_time(35)
    assert operator.status["gates"][3]["bad"] == 0
    operator.world.pods[0]["status"]["containerStatuses"][0]["restartCount"] = 1
    operator.pass_time(70)
    assert "restarts" in operator.status["pause"]["message"]


def test_a_pod_that_is_not_ready_does_not_pass(at: At) -> None:
    operator = at("Canary/Observing")
    operator.pass_time(35)
    operator.world.pods_start = False
    operator.world.pods[0]["status"]["conditions"][0]["status"] = "False"
    operator.pass_time(120)
    assert operator.status["pause"]["cause"] == "GateFailed"
    assert "ready" in operator.status["pause"]["message"]


def test_loosening_a_gate_restarts_its_window_and_tightening_does_not(at: At) -> None:
    operator = at("Canary/Observing")
    operator.pass_time(130)
    before = operator.status["observation"]["observedSeconds"]
    operator.world.migration["spec"]["gates"][0]["max"] = "0.009"
    operator.pass_time(31)
    assert operator.status["observation"]["observedSeconds"] > before
    operator.world.migration["spec"]["gates"][0]["max"] = "0.02"
    operator.step()
    assert operator.status["observation"]["observedSeconds"] == 0
    assert operator.status["history"][0]["cause"] == "WindowRestarted"
    assert "error-rate from 0.009 to 0.02" in operator.status["history"][0]["message"]
    operator.run("FullOut/")


def test_sweep_and_verification_must_be_done_before_the_last_phase_is_left(at: At) -> None:
    operator = at("FullOut/Sweep")
    operator.world.job_seconds = 3000
    operator.pass_time(1500)
    assert operator.place == "FullOut/Sweep"
    assert operator.status["observation"]["observedSeconds"] >= 300
    operator.world.job_seconds = 10
    operator.run("Completing/")
