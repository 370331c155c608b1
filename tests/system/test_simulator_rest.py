"""The simulated cloud's REST side, as a dialler meets it: real HTTP on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.support.simulator_rest import AUTH_ID, CALLS, TO, TOKEN, Rest, open_rest

pytestmark = pytest.mark.system


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    async with open_rest() as opened:
        yield opened


async def test_an_outbound_call_rings_is_answered_talks_and_ends(rest: Rest) -> None:
    await rest.person(number=TO)
    response = await rest.dial(sip_headers="lead=42")
    assert response.status_code == 201
    body = response.json()
    assert set(body) == {"api_id", "message", "request_uuid"}
    call_uuid = body["request_uuid"]
    await rest.over(call_uuid)
    events = [event for event in rest.server.events() if not event.endswith("Stream")]
    assert events == ["Ring", "StartApp", "Hangup"]
    ring, answer, hangup = (rest.server.webhook(e) for e in ("Ring", "StartApp", "Hangup"))
    assert (ring.fields["CallStatus"], ring.query["c"]) == ("ringing", "our-id")
    assert answer.fields["CallStatus"] == "in-progress"
    assert answer.fields["ALegUUID"] == answer.fields["CallUUID"] == call_uuid
    assert (answer.fields["To"], answer.fields["X-PH-lead"]) == ("918000000002", "42")
    assert hangup.fields["HangupSource"] == "Callee"
    assert hangup.fields["Duration"] == "1"
    record = await rest.cdr(call_uuid)
    assert (record["call_status"], record["billsec"]) == ("answered", 1)
    assert record["duration"] >= record["billsec"]
    assert record["destination_number"] == "918000000002"
    assert record["caller_id_number"] == "+918000000001"


@pytest.mark.parametrize(
    ("outcome", "status", "cause", "code"),
    [
        ("busy", "busy", "USER_BUSY", "3010"),
        ("reject", "failed", "CALL_REJECTED", "3020"),
        ("no-answer", "no-answer", "NO_ANSWER", "6010"),
        ("invalid", "failed", "UNALLOCATED_NUMBER", "3050"),
        ("carrier-failure", "failed", "SERVICE_UNAVAILABLE", "3080"),
    ],
)
async def test_calls_that_nobody_answers_say_why(
    rest: Rest, outcome: str, status: str, cause: str, code: str
) -> None:
    await rest.person(number=TO, outcome=outcome)
    response = await rest.dial(ring_timeout=1)
    await rest.over(response.json()["request_uuid"])
    hangup = rest.server.webhook("Hangup").fields
    assert (hangup["CallStatus"], hangup["HangupCause"]) == (status, cause)
    assert hangup["HangupCauseCode"] == code
    assert (hangup["Duration"], hangup["BillDuration"], hangup["AnswerTime"]) == ("0", "0", "")
    assert "StartApp" not in rest.server.events()


async def test_a_numbers_last_digits_say_what_happens(rest: Rest) -> None:
    response = await rest.dial(to="+918000003010")
    await rest.over(response.json()["request_uuid"])
    assert rest.server.webhook("Hangup").fields["HangupCauseCode"] == "3010"


async def test_destinations_joined_by_angle_brackets_are_calls_of_their_own(rest: Rest) -> None:
    await rest.person(hangup_after_s=0.5)
    response = await rest.dial(to="+918000000011<+918000000012<+918000000013")
    ids = response.json()["request_uuid"]
    assert len(set(ids)) == 3
    for call_uuid in ids:
        await rest.over(call_uuid)
    hangups = [w.fields["To"] for w in rest.server.webhooks if w.event == "Hangup"]
    assert sorted(hangups) == ["918000000011", "918000000012", "918000000013"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"from": ""}, "from is required"),
        ({"to": None}, "to is required"),
        ({"answer_url": None}, "answer_url is required"),
        ({"answer_url": "nowhere"}, "answer_url is not a URL"),
        ({"to": "tomorrow"}, "failed getting country code"),
        ({"to": "<".join(["+918000000011"] * 1001)}, "1001 destinations, 1 to 1000 allowed"),
        ({"time_limit": "soon"}, "time_limit must be a number"),
        ({"caller_name": "x" * 51}, "caller_name is longer than 50 characters"),
    ],
)
async def test_a_bad_body_is_refused(rest: Rest, changes: dict[str, Any], error: str) -> None:
    response = await rest.dial(**changes)
    assert response.status_code == 400
    assert response.json()["error"] == error


async def test_a_body_that_is_no_json_is_refused(rest: Rest) -> None:
    response = await rest.client.post(CALLS, content=b"{")
    assert response.status_code == 400


async def test_a_number_of_somebody_else_cannot_call(rest: Rest) -> None:
    await rest.client.post(f"{rest.root}/simulator/account", json={"numbers": ["+918000000009"]})
    response = await rest.dial()
    assert response.status_code == 400
    assert "not owned" in response.json()["error"]


@pytest.mark.parametrize(
    "headers",
    [{"X-Auth-Token": "wrong"}, {"X-Auth-ID": "MA_OTHER"}, {"X-Auth-ID": "", "X-Auth-Token": ""}],
)
async def test_wrong_credentials_are_refused(rest: Rest, headers: dict[str, str]) -> None:
    response = await rest.client.post(CALLS, json=rest.body(), headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "INVALID_CREDENTIALS"


async def test_basic_authentication_works_too(rest: Rest) -> None:
    async with httpx.AsyncClient(auth=(AUTH_ID, TOKEN)) as client:
        response = await client.get(f"{rest.client.base_url}auth/me")
    assert response.json()["auth_id"] == AUTH_ID


async def test_paths_are_as_picky_as_the_real_ones(rest: Rest) -> None:
    client = rest.client
    assert (await client.post(f"/account/{AUTH_ID}/Call/", json={})).status_code == 401
    assert (await client.post(f"/Account/{AUTH_ID}/Call", json={})).status_code == 404
    assert (await client.post(f"/Account/{AUTH_ID}/call/", json={})).status_code in (401, 404)
    unknown = await client.get(f"/Account/{AUTH_ID}/Weather/")
    assert (unknown.status_code, unknown.json()) == (404, {"message": "Not Found"})


async def test_no_balance_is_402(rest: Rest) -> None:
    await rest.client.post(f"{rest.root}/simulator/account", json={"balance": 0})
    assert (await rest.dial()).status_code == 402


async def test_calls_per_second_are_limited(rest: Rest) -> None:
    await rest.client.post(f"{rest.root}/simulator/account", json={"cps": 1, "concurrency": 50})
    first, second = await asyncio.gather(rest.dial(), rest.dial())
    statuses = sorted((first.status_code, second.status_code))
    assert statuses == [201, 429]
    limited = first if first.status_code == 429 else second
    assert limited.headers["retry-after"] == "1"
    assert limited.json()["error"]["details"]["limitType"] == "cps"
    await asyncio.sleep(1.1)
    assert (await rest.dial()).status_code == 201


async def test_calls_at_once_are_limited(rest: Rest) -> None:
    await rest.client.post(f"{rest.root}/simulator/account", json={"cps": 50})
    for _ in range(4):
        assert (await rest.dial()).status_code == 201
    refused = await rest.dial()
    assert refused.status_code == 429
    assert refused.json()["error"]["details"] == {
        "limitType": "concurrency",
        "limit": 4,
        "current": 5,
        "retryAfter": 1,
    }
    used = (await rest.client.get(f"/Account/{AUTH_ID}/concurrency")).json()
    assert (used["concurrent_calls"], used["max_concurrent"]) == (4, 4)


@pytest.mark.parametrize("status", [401, 402, 403, 429, 500, 503])
async def test_faults_can_be_injected_into_requests(rest: Rest, status: int) -> None:
    fault = {"status": status, "count": 1, "operation": "POST /Account"}
    await rest.client.post(f"{rest.root}/simulator/faults", json=fault)
    listed = await rest.client.get(CALLS, params={"status": "live"})
    assert listed.status_code == 200
    assert (await rest.dial()).status_code == status
    assert (await rest.dial()).status_code == 201


async def test_make_call_can_answer_200_and_after_the_answer_webhook(rest: Rest) -> None:
    change = {"make_call_status": 200, "answers_first": True}
    await rest.client.post(f"{rest.root}/simulator/account", json=change)
    response = await rest.dial()
    assert response.status_code == 200
    assert "StartApp" in rest.server.events() or rest.cloud.find(response.json()["request_uuid"])


async def test_a_live_call_is_listed_shown_and_hung_up_once(rest: Rest) -> None:
    await rest.person(number=TO, hangup_after_s=20)
    call_uuid = (await rest.dial()).json()["request_uuid"]
    await rest.server.wait_for("StartStream")
    for path in (CALLS, CALLS.removesuffix("/")):
        listed = (await rest.client.get(path, params={"status": "live"})).json()
        assert listed["calls"] == [call_uuid]
    shown = (await rest.client.get(f"{CALLS}{call_uuid}/", params={"status": "live"})).json()
    assert (shown["call_status"], shown["direction"]) == ("in-progress", "outbound")
    assert (await rest.client.get(CALLS)).status_code == 400
    assert (await rest.client.delete(f"{CALLS}{call_uuid}/")).status_code == 204
    assert (await rest.client.delete(f"{CALLS}{call_uuid}/")).status_code == 404
    await rest.over(call_uuid)
    hangup = rest.server.webhook("Hangup").fields
    assert (hangup["HangupCauseCode"], hangup["HangupSource"]) == ("4000", "API Request")
    (socket,) = rest.server.sockets
    assert socket.connection.close_code == 1000
    assert (await rest.cdr(call_uuid))["hangup_source"] == "API"


async def test_a_call_that_still_rings_can_be_cancelled(rest: Rest) -> None:
    await rest.person(number=TO, after_s=20)
    call_uuid = (await rest.dial()).json()["request_uuid"]
    await rest.server.wait_for("Ring")
    assert (await rest.client.delete(f"{CALLS}{call_uuid}")).status_code == 204
    await rest.over(call_uuid)
    hangup = rest.server.webhook("Hangup").fields
    assert (hangup["CallStatus"], hangup["HangupCauseCode"]) == ("cancel", "1000")


async def test_a_transfer_leaves_the_stream_without_a_word_and_runs_other_xml(rest: Rest) -> None:
    await rest.person(number=TO, hangup_after_s=20)
    call_uuid = (await rest.dial()).json()["request_uuid"]
    await rest.server.wait_for("StartStream")
    url = f"{rest.server.url}/elsewhere"
    rest.server.answers["/elsewhere"] = "<Response><Hangup/></Response>"
    response = await rest.client.post(f"{CALLS}{call_uuid}/", json={"aleg_url": url})
    assert (response.status_code, response.json()["call_uuid"]) == (202, call_uuid)
    await rest.over(call_uuid)
    assert rest.server.webhook("Transfer").path == "/elsewhere"
    assert "StopStream" not in rest.server.events()
    assert "DroppedStream" not in rest.server.events()
    assert rest.server.webhook("Hangup").fields["HangupSource"] == "Answer XML"


async def test_speech_keys_and_recordings_can_be_added_to_a_call(rest: Rest) -> None:
    await rest.person(number=TO, hangup_after_s=2)
    call_uuid = (await rest.dial()).json()["request_uuid"]
    await rest.server.wait_for("StartStream")
    post = rest.client.post
    assert (await post(f"{CALLS}{call_uuid}/Speak/", json={"text": "Hello"})).status_code == 202
    assert (await post(f"{CALLS}{call_uuid}/Speak/", json={})).status_code == 400
    assert (await post(f"{CALLS}{call_uuid}/DTMF/", json={"digits": "1w2#"})).status_code == 202
    assert (await post(f"{CALLS}{call_uuid}/DTMF/", json={"digits": "x"})).status_code == 400
    recorded = await post(
        f"{CALLS}{call_uuid}/Record/",
        json={"time_limit": 0.2, "callback_url": f"{rest.server.url}/recorded"},
    )
    assert recorded.status_code == 200
    assert (await rest.client.delete(f"{CALLS}{call_uuid}/Speak/")).status_code == 204
    await rest.over(call_uuid)
    stopped = rest.server.webhook("RecordStop").fields
    assert stopped["RecordingID"] == recorded.json()["recording_id"]
    assert (await post(f"{CALLS}{call_uuid}/Speak/", json={"text": "Hello"})).status_code == 404


async def test_a_stream_by_rest_is_two_way_only_for_the_text_true(rest: Rest) -> None:
    rest.server.answers["/answer"] = '<Response><Wait length="30"/></Response>'
    await rest.person(number=TO, hangup_after_s=20)
    call_uuid = (await rest.dial()).json()["request_uuid"]
    await rest.server.wait_for("StartApp")
    streams = f"{CALLS}{call_uuid}/Stream/"
    body = {"service_url": rest.server.ws_url, "audio_track": "inbound"}
    callback = {"status_callback_url": f"{rest.server.url}/stream-status"}
    one_way = await rest.client.post(streams, json=body | {"bidirectional": True})
    shown = (await rest.client.get(f"{streams}{one_way.json()['stream_id']}/")).json()
    assert (one_way.status_code, shown["bidirectional"]) == (202, False)
    assert (await rest.client.delete(streams)).status_code == 204
    two_way = await rest.client.post(streams, json=body | callback | {"bidirectional": "true"})
    await rest.server.wait_for("StartStream")
    found = [s for s in (await rest.client.get(streams)).json()["objects"] if s["bidirectional"]]
    assert len(found) == 1
    assert (await rest.client.delete(f"{streams}{found[0]['stream_id']}/")).status_code == 204
    await rest.server.wait_for("StopStream")
    assert (await rest.client.get(f"{streams}none/")).json()["error"] == "Stream not found"
    both = await rest.client.post(
        streams, json=body | {"bidirectional": "true", "audio_track": "both"}
    )
    assert (two_way.status_code, both.status_code) == (202, 400)
    await rest.client.delete(f"{CALLS}{call_uuid}/")
    await rest.over(call_uuid)


@pytest.mark.parametrize("is_machine", [True, False])
async def test_asynchronous_machine_detection_reports_its_verdict(
    rest: Rest, is_machine: bool
) -> None:
    outcome = "machine" if is_machine else "answer"
    await rest.person(number=TO, outcome=outcome, hangup_after_s=3)
    response = await rest.dial(
        machine_detection="hangup",
        machine_detection_time=2000,
        machine_detection_url=f"{rest.server.url}/machine",
    )
    await rest.over(response.json()["request_uuid"])
    verdict = rest.server.webhook("MachineDetection").fields
    assert (verdict["Machine"], verdict["IfMachine"]) == (str(is_machine).lower(), "hangup")
    code = rest.server.webhook("Hangup").fields["HangupCauseCode"]
    assert code == ("9100" if is_machine else "4000")


async def test_synchronous_machine_detection_delays_the_answer_webhook(rest: Rest) -> None:
    await rest.person(number=TO, outcome="machine", hangup_after_s=4)
    response = await rest.dial(machine_detection="hangup", machine_detection_time="2000")
    await rest.over(response.json()["request_uuid"])
    assert "StartApp" not in rest.server.events()
    assert rest.server.webhook("Hangup").fields["HangupCauseCode"] == "9100"


APPLICATION = {"app_name": "parley", "answer_url": "https://voice.example.com/answer"}
NUMBER = "+918000000001"
ATTACH = f"/Account/{AUTH_ID}/numbers/%2B918000000001/application"


async def make_application(rest: Rest, **fields: Any) -> str:
    made = await rest.client.post(f"/Account/{AUTH_ID}/Application/", json=APPLICATION | fields)
    assert made.status_code == 201, made.text
    app_id: str = made.json()["app_id"]
    return app_id


async def test_applications_and_numbers_live_in_memory(rest: Rest) -> None:
    client, base = rest.client, f"/Account/{AUTH_ID}"
    app_id = await make_application(rest)
    for faulty in ({"app_name": "no!"}, {"answer_url": "x"}, {"hangup_method": "PUT"}):
        answer = await client.post(f"{base}/Application/", json=APPLICATION | faulty)
        assert answer.status_code == 400, faulty
    assert (await client.post(ATTACH, json={"application_id": app_id})).status_code == 200
    numbers = (await client.get(f"{base}/numbers")).json()
    (item,) = numbers["items"]
    assert (item["e164"], item["application_id"]) == (NUMBER, app_id)
    assert (await client.delete(f"{base}/Application/{app_id}/")).status_code == 409
    assert (await client.delete(ATTACH)).status_code == 204
    assert (await client.delete(f"{base}/Application/{app_id}/")).status_code == 204
    assert (await client.get(f"{base}/Application/{app_id}/")).status_code == 404


async def test_an_applications_change_leaves_what_it_does_not_name_but_one_flag(rest: Rest) -> None:
    path = f"/Account/{AUTH_ID}/Application/{await make_application(rest)}/"
    await rest.client.post(path, json={"default_endpoint_app": True, "hangup_method": "GET"})
    assert (await rest.client.get(path)).json()["default_endpoint_app"] is True
    changed = await rest.client.post(path, json={"answer_url": "https://other.example.com/a"})
    assert (changed.status_code, changed.json()["message"]) == (200, "changed")
    shown = (await rest.client.get(path)).json()
    assert shown["answer_url"] == "https://other.example.com/a"
    assert (shown["hangup_method"], shown["app_name"]) == ("GET", "parley")
    assert shown["default_endpoint_app"] is False


async def test_applications_are_listed_by_twenty(rest: Rest) -> None:
    made = [await make_application(rest) for _ in range(21)]
    path = f"/Account/{AUTH_ID}/Application/"
    first = (await rest.client.get(path, params={"limit": 100})).json()
    assert (len(first["objects"]), first["meta"]["total_count"]) == (20, 21)
    last = (await rest.client.get(path, params={"offset": 20})).json()
    assert [app["app_id"] for app in last["objects"]] == made[20:]
    assert (first["meta"]["next"] is None, last["meta"]["next"]) == (False, None)


async def test_a_number_is_attached_anew_or_refused_as_the_account_has_it(rest: Rest) -> None:
    first, second = await make_application(rest), await make_application(rest)
    for app_id in (first, second):
        assert (await rest.client.post(ATTACH, json={"application_id": app_id})).is_success
    await rest.client.post(f"{rest.root}/simulator/account", json={"keeps_attachments": True})
    refused = await rest.client.post(ATTACH, json={"application_id": first})
    assert refused.status_code == 409
    item = (await rest.client.get(f"/Account/{AUTH_ID}/numbers")).json()["items"][0]
    assert item["application_id"] == second
    await rest.client.post(f"{rest.root}/simulator/account", json={"numbers": ["+918000000009"]})
    foreign = await rest.client.post(ATTACH, json={"application_id": first})
    assert foreign.status_code == 404


async def test_an_inbound_call_goes_where_the_numbers_application_says(rest: Rest) -> None:
    url = rest.server.url
    inbound = {"to_number": NUMBER, "person": {"hangup_after_s": 0.2}}
    nowhere = await rest.client.post(f"{rest.root}/simulator/inbound", json=inbound)
    assert nowhere.status_code == 404
    app_id = await make_application(rest, answer_url=f"{url}/answer", hangup_url=f"{url}/hangup")
    await rest.client.post(ATTACH, json={"application_id": app_id})
    placed = await rest.client.post(f"{rest.root}/simulator/inbound", json=inbound)
    await rest.over(placed.json()["call_uuid"])
    assert rest.server.webhook("StartApp").fields["Direction"] == "inbound"
    assert rest.server.webhook("Hangup").path == "/hangup"


async def test_the_account_says_what_it_may_do(rest: Rest) -> None:
    me = (await rest.client.get("/auth/me")).json()
    assert (me["auth_id"], me["cps_limit"], me["concurrent_calls_limit"]) == (AUTH_ID, 5, 4)


async def test_an_inbound_call_can_be_placed_and_read_through_the_control_routes(
    rest: Rest,
) -> None:
    body = {
        "answer_url": f"{rest.server.url}/answer",
        "hangup_url": f"{rest.server.url}/hangup",
        "person": {"hangup_after_s": 0.6},
    }
    placed = await rest.client.post(f"{rest.root}/simulator/inbound", json=body)
    call_uuid = placed.json()["call_uuid"]
    await rest.over(call_uuid)
    report = (await rest.client.get(f"{rest.root}/simulator/calls/{call_uuid}")).json()
    assert (report["direction"], report["ok"]) == ("inbound", True)
    listed = (await rest.client.get(f"{rest.root}/simulator/calls")).json()["calls"]
    assert [call["call_uuid"] for call in listed] == [call_uuid]


async def test_knobs_hold_for_the_calls_that_follow(rest: Rest) -> None:
    knobs = {"signature": "none", "shape": "flat", "numbers": "plus", "line": {"noise_dbfs": -60}}
    changed = await rest.client.post(f"{rest.root}/simulator/knobs", json=knobs)
    assert changed.json()["signature"] == "none"
    await rest.person(number=TO, hangup_after_s=0.4)
    await rest.over((await rest.dial()).json()["request_uuid"])
    answer = rest.server.webhook("StartApp")
    assert answer.fields["To"] == TO
    assert "x-vobiz-signature-v3" not in answer.headers
    assert "streamId" in rest.server.sockets[0].messages[0]
    wrong = await rest.client.post(f"{rest.root}/simulator/knobs", json={"colour": "red"})
    assert wrong.status_code == 400
    await rest.client.post(f"{rest.root}/simulator/reset")


async def test_the_simulator_says_that_it_is_up(rest: Rest) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await rest.client.get(f"{rest.root}{path}")).status_code == 200
