"""Data-sync between the appliances of a pair: configuration documents, records, blobs."""
