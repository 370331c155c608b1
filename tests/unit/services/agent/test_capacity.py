from services.agent.capacity import Load, Refusal, refuse_attach, refuse_new_call


def test_worker_takes_calls_up_to_its_capacity() -> None:
    assert refuse_new_call(Load(active=1, capacity=2, is_draining=False)) is None
    assert refuse_new_call(Load(active=2, capacity=2, is_draining=False)) is Refusal.FULL


def test_draining_worker_takes_none() -> None:
    assert refuse_new_call(Load(active=0, capacity=2, is_draining=True)) is Refusal.DRAINING


def test_only_a_newer_epoch_takes_a_call_over() -> None:
    assert refuse_attach(known_epoch=2, offered_epoch=3) is None
    assert refuse_attach(known_epoch=2, offered_epoch=2) is Refusal.STALE
    assert refuse_attach(known_epoch=2, offered_epoch=1) is Refusal.STALE
