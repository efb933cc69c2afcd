"""What no verdict on a picture can do without: cv2, the SSD, and running it once."""

import sys

import cv2

net = cv2.dnn.readNetFromCaffe(
    "face_detector/deploy.prototxt",
    "face_detector/res10_300x300_ssd_iter_140000.caffemodel",
)
image = cv2.imread(sys.argv[1])
net.setInput(cv2.dnn.blobFromImage(image, size=(300, 300), mean=(104, 177, 123)))
net.forward()
