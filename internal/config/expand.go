package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
)

// referencedBytesMax bounds a file that a value refers to: it holds one secret, not a document.
const referencedBytesMax = 64 << 10

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand puts in what ${VAR} and ${file:/path} refer to, once; $$ is a dollar. referred tells whether anything was put in.
func expand(s string, env func(string) (string, bool)) (text string, referred bool, err error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "$")
		b.WriteString(before)
		switch {
		case !found:
			return b.String(), referred, nil
		case strings.HasPrefix(after, "$"):
			b.WriteByte('$')
			s = after[1:]
		case strings.HasPrefix(after, "{"):
			name, rest, closed := strings.Cut(after[1:], "}")
			if !closed {
				return "", referred, errors.New("must close the reference with } (a plain ${ is written $${)")
			}
			value, err := referredTo(name, env)
			if err != nil {
				return "", true, err
			}
			b.WriteString(value)
			referred, s = true, rest
		default:
			b.WriteByte('$')
			s = after
		}
	}
}

func referredTo(name string, env func(string) (string, bool)) (string, error) {
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		return referredFile(path)
	}
	if !variableName.MatchString(name) {
		return "", errors.New("must refer as ${VAR} or ${file:/path} (a plain ${ is written $${)")
	}
	value, ok := env(name)
	if !ok {
		return "", fmt.Errorf("needs the environment variable %s, which is not set", name)
	}
	return value, nil
}

// referredFile reads a file without the newline that editors and secret stores leave at its end.
func referredFile(path string) (string, error) {
	if err := checkFile(path); err != nil {
		return "", err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fileError(err)
	}
	text := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

// checkFile looks before anything is opened, for a pipe or a terminal would block the start.
func checkFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fileError(err)
	case !info.Mode().IsRegular():
		return errors.New("must be a regular file")
	case info.Size() > referencedBytesMax:
		return fmt.Errorf("must be a file of at most %s", Size(referencedBytesMax))
	}
	return nil
}

// fileError leaves the path out; the fault shows it as it stands in the configuration.
func fileError(err error) error {
	if pathError := (*fs.PathError)(nil); errors.As(err, &pathError) {
		return fmt.Errorf("must be a file that can be read (%w)", pathError.Err)
	}
	return errors.New("must be a file that can be read")
}
