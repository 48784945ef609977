"""The real-time views in Cassandra: `RealTime` answers from them, `Writer` fills them."""

from clickstream.views.realtime.reader import AlertChange, Offender, RealTime

__all__ = ["AlertChange", "Offender", "RealTime"]
