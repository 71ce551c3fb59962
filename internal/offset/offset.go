// Package offset knows how far one partition is settled.
//
// Records settle in any order, but Kafka's commit is one number: everything below it is done. A Tracker keeps the longest settled prefix
// for that number, and writes what is settled beyond it, and what may have been sent to a vendor, into the commit's metadata, so that the
// next owner skips the one and treats the other as of unknown outcome:
//
//	offset    100 101 102 103 104 105 106
//	state      -   x   x   ?   -   x   .        - handed out   x settled   ? may have been sent   . not read yet
//	commit    100, metadata: 1 open, 2 settled, 1 sent, 1 open, 1 settled
//
// Everything here is pure: no Kafka client, no clock, no goroutine.
package offset
