//! negatives-queue
