from service.quota import Quota


def test_a_minutes_worth_may_be_had_at_once_and_then_as_it_comes_in():
    quota = Quota(60, now=100)
    for _ in range(60):
        assert quota.wait_seconds(1, now=100) == 0
        quota.take(1)
    assert quota.wait_seconds(1, now=100) == 1
    assert quota.wait_seconds(1, now=100.9) == 1
    assert quota.wait_seconds(1, now=101) == 0
    assert quota.wait_seconds(10, now=101) == 9


def test_what_is_not_used_is_kept_for_a_minute_and_no_longer():
    quota = Quota(10, now=0)
    for _ in range(10):
        assert quota.wait_seconds(1, now=5000) == 0
        quota.take(1)
    assert quota.wait_seconds(1, now=5000) == 6


def test_more_than_a_minutes_worth_waits_for_a_full_bucket_and_is_waited_off_by_the_next():
    quota = Quota(30, now=0)
    assert quota.wait_seconds(90, now=0) == 0
    quota.take(90)
    assert quota.wait_seconds(1, now=0) == 122
    assert quota.wait_seconds(90, now=0) == 180
    assert quota.wait_seconds(1, now=122) == 0


def test_over_time_nobody_gets_more_than_the_quota():
    quota, now, had = Quota(7, now=0), 0.0, 0
    while now < 3600:
        if seconds := quota.wait_seconds(3, now):
            now += seconds
        else:
            quota.take(3)
            had += 3
    assert 7 * 59 <= had <= 7 * 61


def test_a_fraction_of_one_a_minute_is_one_now_and_then():
    quota = Quota(1 / 4, now=0)
    assert quota.wait_seconds(1, now=0) == 0
    quota.take(1)
    assert quota.wait_seconds(1, now=0) == 240
    assert quota.wait_seconds(1, now=240) == 0


def test_what_is_given_back_may_be_had_again_and_fills_no_bucket_beyond_its_brim():
    quota = Quota(10, now=0)
    quota.take(10)
    quota.give_back(10)
    quota.give_back(10)
    assert quota.wait_seconds(10, now=0) == 0
    quota.take(10)
    assert quota.wait_seconds(1, now=0) == 6
