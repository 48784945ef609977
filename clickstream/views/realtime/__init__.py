"""The real-time views in Cassandra: `RealTime` answers from them, `Writer` fills them."""

from clickstream.views.realtime.reader import Minute, Offender, RealTime, Told

__all__ = ["Minute", "Offender", "RealTime", "Told"]
