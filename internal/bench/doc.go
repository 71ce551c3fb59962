// Package bench measures the line: in one process for a profile (BenchmarkLine), and as the built binary beside a broker and a vendor of
// another process, so that the figure of CPU is the connector's alone (BenchmarkRun, by `make bench`).
package bench
