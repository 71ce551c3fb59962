// Package offset tracks which records of a partition are settled.
//
// Records settle in any order, but a commit in Kafka is one number: everything below it is done. A
// Tracker maintains the settled prefix for that number. What is settled beyond it, and which
// records may have been sent to a vendor, goes into the commit metadata. So the next owner skips
// the former, and treats the outcome of the latter as unknown:
//
//	offset    100 101 102 103 104 105 106
//	state      -   x   x   ?   -   x   .
//	commit    100, metadata: 1 unsettled, 2 settled, 1 intent, 1 unsettled, 1 settled
//
// where - is in flight, x settled, ? a send intent, and . not read yet. An intent to send a record
// again is a state of its own, so that the next owner does not send it as if for the second time.
//
// The package is pure: no Kafka client, no clock, no goroutine.
package offset
