"""The publisher's program: builds and signs releases, keeps the TUF repository, answers appliances."""
