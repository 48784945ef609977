"""The batch views on MariaDB: the very tests that SQLite passes."""

import pytest

from tests.test_batch_views import (  # noqa: F401
    test_a_day_is_final_when_every_server_has_the_lines_of_the_books,
    test_a_day_that_another_run_has_written_since_is_left_to_it,
    test_a_failing_write_leaves_the_day_as_it_was,
    test_a_home_publishes_its_books,
    test_a_writer_that_is_killed_leaves_the_old_day_or_the_new_one,
    test_another_schema_number_is_refused_until_dropped,
    test_any_day,
    test_hours_are_summed_over_days_or_told_by_day,
    test_names_that_differ_in_a_byte_stay_apart,
    test_replacing_a_day_twice_gives_the_same_rows_and_touches_no_other,
    test_servers_differ_by_case,
    test_writers_at_once_take_their_turns_and_a_reader_sees_whole_days,
    views,
)


@pytest.fixture
def store(fresh):
    """A home of its own on the shared stack, its database empty."""
    return fresh
