"""The real-time views in Cassandra: `RealTime` answers from them, `Writer` fills them."""

from clickstream.views.realtime.reader import AlertChange, Minute, Offender, RealTime

__all__ = ["AlertChange", "Minute", "Offender", "RealTime"]
