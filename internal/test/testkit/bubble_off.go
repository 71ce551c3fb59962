//go:build !synctests

package testkit

const bubblesSupported = false
