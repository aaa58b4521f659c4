"""The doctor: looks an appliance over from outside of its programs, so that it can say something when they are down."""
