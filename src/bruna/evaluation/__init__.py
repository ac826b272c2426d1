"""What is measured of trained networks: retrieval, attributes, another folder, the course's deliverables."""
