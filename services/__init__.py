"""One process a file: camera, tracker, actuator, monitor. They only assemble; the work is in the library."""
