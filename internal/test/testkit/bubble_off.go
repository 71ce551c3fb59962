//go:build !synctests

package testkit

const bubbles = false
