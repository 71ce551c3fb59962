package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
)

// maxReferencedBytes limits a referenced file, which contains a secret and not a document.
const maxReferencedBytes = 64 << 10

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expandReferences replaces ${VAR} and ${file:/path} once, and $$ by a dollar sign. referred
// reports whether the text had a reference.
func expandReferences(s string, env func(string) (string, bool)) (text string, referred bool, err error) {
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
				return "", referred, errors.New("must close the reference with } (write $${ for a literal ${)")
			}
			value, err := lookUpReference(name, env)
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

func lookUpReference(name string, env func(string) (string, bool)) (string, error) {
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		return readReferencedFile(path)
	}
	if !variableName.MatchString(name) {
		return "", errors.New("must use the form ${VAR} or ${file:/path} (write $${ for a literal ${)")
	}
	value, ok := env(name)
	if !ok {
		return "", fmt.Errorf("requires the environment variable %s, which is not set", name)
	}
	return value, nil
}

// readReferencedFile reads a file without the final newline that editors and secret stores add.
func readReferencedFile(path string) (string, error) {
	if err := checkReferencedFile(path); err != nil {
		return "", err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", withoutPath(err)
	}
	text := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

// checkReferencedFile runs before the file is opened, because opening a pipe or a terminal could
// block.
func checkReferencedFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return withoutPath(err)
	case !info.Mode().IsRegular():
		return errors.New("must be a regular file")
	case info.Size() > maxReferencedBytes:
		return fmt.Errorf("must be a file of at most %s", Size(maxReferencedBytes))
	}
	return nil
}

// withoutPath removes the path from an error, because the violation already shows it as configured.
func withoutPath(err error) error {
	if pathError := (*fs.PathError)(nil); errors.As(err, &pathError) {
		return fmt.Errorf("must be a readable file (%w)", pathError.Err)
	}
	return errors.New("must be a readable file")
}
