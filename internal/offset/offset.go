package offset
