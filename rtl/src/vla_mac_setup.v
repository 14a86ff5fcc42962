// Shadow and running packet of the MAC engine, with the constants its walk adds up.
// Does: take the next packet while one runs; compute products (one multiplier, one product per cycle) and
// the positions of the first strip's lanes by stepping pixel after pixel; on start, hand everything to the
// running registers.
// Does not: touch a memory, or check a packet.
// Latency: a packet taken is ready to start Pixels + 1 cycles later, and at least 7; start_o is high in the first cycle in
// which the running registers hold it.
// Handshake: packet_ready_o says that the shadow is empty. A packet starts when it is ready, free_i says
// that its predecessor is done, and the builder of live lists has taken it (packets with a mask).
`include "vla_isa.vh"
`default_nettype none
module vla_mac_setup #(
  parameter Pixels   = 8,
  parameter ActAw    = 17,
  parameter LaneBits = 59   // a position: {address ActAw, x 16, y 14, output row 12}
) (
  input  wire                       clk_i,
  input  wire                       rst_i,
  input  wire                       packet_valid_i,
  output wire                       packet_ready_o,
  input  wire [511:0]               packet_i,
  input  wire                       free_i,
  output wire                       start_o,
  // the shadow, for the builder of live lists
  output wire                       live_begin_o,
  input  wire                       live_ready_i,
  output wire [511:0]               shadow_conv_o,
  output wire [11:0]                shadow_in_blocks_o,
  output wire [11:0]                shadow_out_blocks_o,
  // the running packet in CONV's layout, and what that cannot hold (see vla_mac_normal)
  output reg  [511:0]               conv_o,
  output reg  [11:0]                in_blocks_o,
  output reg  [11:0]                out_blocks_o,
  output reg  [9:0]                 batches_o,
  output reg  [ActAw-1:0]           in_batch_stride_o,
  output reg  [ActAw-1:0]           out_batch_stride_o,
  output reg  [15:0]                weight_batch_stride_o,
  output reg                        one_record_o,
  output reg  [511:0]               gemm_o,
  // its constants, addresses modulo the size of the activation memory
  output reg  [ActAw-1:0]           origin_o,          // kernel tap (0, 0) of output pixel (0, 0), block 0
  output reg  [ActAw-1:0]           ring_span_o,       // words of the whole ring
  output reg  [ActAw-1:0]           tap_row_o,         // words from one kernel row to the next
  output reg  [15:0]                row_pixels_o,      // out_w * stride_w
  output reg  [ActAw-1:0]           row_step_o,        // words from behind an output row to the next one
  output reg  [ActAw-1:0]           out_slot_row_o,    // words from slot 0 to row 0 of the output
  output reg  [ActAw-1:0]           res_slot_row_o,
  output reg  [ActAw-1:0]           out_ring_span_o,   // words of the whole ring
  output reg  [ActAw-1:0]           res_ring_span_o,
  output reg  [LaneBits*Pixels-1:0] lanes_o,           // positions of the first strip's lanes
  output reg  [LaneBits-1:0]        strip_step_o       // from a strip to the next one
);

  localparam       Counts   = Pixels > 6 ? Pixels : 6;  // counts 0..6 multiply, 0..Pixels place a lane
  localparam [3:0] Last     = Counts[3:0];
  localparam [3:0] LastLane = Pixels[3:0];

  wire [511:0] conv;
  wire [11:0]  in_blocks, out_blocks;
  wire [9:0]   batches;
  wire [19:0]  in_batch_stride, out_batch_stride;
  wire [15:0]  weight_batch_stride;
  wire         one_record;
  wire [511:0] gemm;

  vla_mac_normal u_normal (
    .packet_i(packet_i), .conv_o(conv), .in_blocks_o(in_blocks), .out_blocks_o(out_blocks),
    .batches_o(batches), .in_batch_stride_o(in_batch_stride), .out_batch_stride_o(out_batch_stride),
    .weight_batch_stride_o(weight_batch_stride), .one_record_o(one_record), .gemm_o(gemm)
  );

  // ---- shadow ----
  reg         held_q;
  reg         ready_q;
  reg         begun_q;   // the builder of live lists has taken it
  reg         start_q;
  reg [3:0]   count_q;
  reg [511:0] conv_q;
  reg [11:0]  in_blocks_q, out_blocks_q;
  reg [9:0]   batches_q;
  reg [19:0]  in_batch_stride_q, out_batch_stride_q;
  reg [15:0]  weight_batch_stride_q;
  reg         one_record_q;
  reg [511:0] gemm_q;

  wire unused_high = &{1'b0, in_batch_stride_q, out_batch_stride_q, factor_wide, row_pixels_wide};

  wire masked  = conv_q[`VLA_CONV_MASK_MODE] == `VLA_CONV_MASK_MODE_MASK;
  wire take    = packet_valid_i && !held_q;
  wire compute = held_q && !ready_q;
  wire start   = ready_q && free_i && (!masked || begun_q);

  assign packet_ready_o      = !held_q;
  assign start_o             = start_q;
  assign live_begin_o        = held_q && masked && !begun_q;
  assign shadow_conv_o       = conv_q;
  assign shadow_in_blocks_o  = in_blocks_q;
  assign shadow_out_blocks_o = out_blocks_q;

  always @(posedge clk_i) begin
    if (rst_i) begin
      held_q  <= 1'b0;
      ready_q <= 1'b0;
      begun_q <= 1'b0;
      start_q <= 1'b0;
      count_q <= 4'd0;
    end else begin
      start_q <= start;
      if (take) held_q <= 1'b1;
      else if (start) held_q <= 1'b0;
      if (start) ready_q <= 1'b0;
      else if (compute && count_q == Last) ready_q <= 1'b1;
      if (start) begun_q <= 1'b0;
      else if (live_begin_o && live_ready_i) begun_q <= 1'b1;
      if (start) count_q <= 4'd0;
      else if (compute) count_q <= count_q + 4'd1;
    end
  end

  always @(posedge clk_i) begin
    if (take) begin
      conv_q                <= conv;
      in_blocks_q           <= in_blocks;
      out_blocks_q          <= out_blocks;
      batches_q             <= batches;
      in_batch_stride_q     <= in_batch_stride;
      out_batch_stride_q    <= out_batch_stride;
      weight_batch_stride_q <= weight_batch_stride;
      one_record_q          <= one_record;
      gemm_q                <= gemm;
    end
  end

  // ---- products ----
  wire [ActAw-1:0] row_stride = conv_q[`VLA_CONV_IN_ROW_STRIDE_LSB +: ActAw];
  wire [11:0]      first_row  = {1'b0, conv_q[`VLA_CONV_IN_SLOT]} - {4'd0, conv_q[`VLA_CONV_PAD_TOP]};

  reg [11:0]      factor;  // signed
  reg [ActAw-1:0] stride;
  always @* begin
    case (count_q)
      4'd0:    {factor, stride} = {1'b0, conv_q[`VLA_CONV_IN_RING], row_stride};
      4'd1:    {factor, stride} = {7'd0, conv_q[`VLA_CONV_DILATION_H], row_stride};
      4'd2:    {factor, stride} = {first_row, row_stride};
      4'd3:    {factor, stride} = {1'b0, conv_q[`VLA_CONV_OUT_SLOT], conv_q[`VLA_CONV_OUT_ROW_STRIDE_LSB +: ActAw]};
      4'd4:    {factor, stride} = {1'b0, conv_q[`VLA_CONV_RES_SLOT], conv_q[`VLA_CONV_RES_ROW_STRIDE_LSB +: ActAw]};
      4'd5:    {factor, stride} = {1'b0, conv_q[`VLA_CONV_OUT_RING], conv_q[`VLA_CONV_OUT_ROW_STRIDE_LSB +: ActAw]};
      default: {factor, stride} = {1'b0, conv_q[`VLA_CONV_RES_RING], conv_q[`VLA_CONV_RES_ROW_STRIDE_LSB +: ActAw]};
    endcase
  end
  wire [ActAw+11:0] factor_wide = {{ActAw{factor[11]}}, factor};
  wire [ActAw-1:0]  product     = factor_wide[ActAw-1:0] * stride;

  reg [ActAw-1:0] ring_span_q, tap_row_q, origin_q, out_slot_row_q, res_slot_row_q, out_ring_span_q, res_ring_span_q;
  always @(posedge clk_i) begin
    if (compute) begin
      case (count_q)
        4'd0: ring_span_q <= product;
        4'd1: tap_row_q <= product;
        4'd2: origin_q <= product + conv_q[`VLA_CONV_IN_BASE_LSB +: ActAw]
                        - {{ActAw-8{1'b0}}, conv_q[`VLA_CONV_PAD_LEFT]};
        4'd3: out_slot_row_q <= product;
        4'd4: res_slot_row_q <= product;
        4'd5: out_ring_span_q <= product;
        4'd6: res_ring_span_q <= product;
        default: ;
      endcase
    end
  end

  // ---- positions of the lanes, and of the first lane of the second strip ----
  wire [2:0]       stride_h   = conv_q[`VLA_CONV_STRIDE_H];
  wire [2:0]       stride_w   = conv_q[`VLA_CONV_STRIDE_W];
  wire [15:0]      row_pixels = {2'd0, conv_q[`VLA_CONV_OUT_W]} * {13'd0, stride_w};
  wire [ActAw+15:0] row_pixels_wide = {{ActAw{1'b0}}, row_pixels};
  wire [ActAw-1:0] row_step   = row_stride * {{ActAw-3{1'b0}}, stride_h} - row_pixels_wide[ActAw-1:0];

  reg [11:0]      row_q;
  reg [13:0]      y_q;
  reg [15:0]      x_q;
  reg [ActAw-1:0] addr_q;
  reg [LaneBits*(Pixels+1)-1:0] lanes_q;

  wire [16:0] x_next = {1'b0, x_q} + {14'd0, stride_w};
  wire        wrap   = x_next >= {1'b0, row_pixels};

  always @(posedge clk_i) begin
    if (take) begin
      row_q  <= 12'd0;
      y_q    <= 14'd0;
      x_q    <= 16'd0;
      addr_q <= {ActAw{1'b0}};
    end else if (compute) begin
      row_q  <= row_q + {11'd0, wrap};
      y_q    <= y_q + (wrap ? {11'd0, stride_h} : 14'd0);
      x_q    <= wrap ? 16'd0 : x_next[15:0];
      addr_q <= addr_q + {{ActAw-3{1'b0}}, stride_w} + (wrap ? row_step : {ActAw{1'b0}});
    end
    if (compute && count_q <= LastLane) begin
      lanes_q <= {addr_q, x_q, y_q, row_q, lanes_q[LaneBits*(Pixels+1)-1:LaneBits]};
    end
  end

  // ---- running packet ----
  always @(posedge clk_i) begin
    if (start) begin
      conv_o                <= conv_q;
      in_blocks_o           <= in_blocks_q;
      out_blocks_o          <= out_blocks_q;
      batches_o             <= batches_q;
      in_batch_stride_o     <= in_batch_stride_q[ActAw-1:0];
      out_batch_stride_o    <= out_batch_stride_q[ActAw-1:0];
      weight_batch_stride_o <= weight_batch_stride_q;
      one_record_o          <= one_record_q;
      gemm_o                <= gemm_q;
      origin_o              <= origin_q;
      ring_span_o           <= ring_span_q;
      tap_row_o             <= tap_row_q;
      row_pixels_o          <= row_pixels;
      row_step_o            <= row_step;
      out_slot_row_o        <= out_slot_row_q;
      res_slot_row_o        <= res_slot_row_q;
      out_ring_span_o       <= out_ring_span_q;
      res_ring_span_o       <= res_ring_span_q;
      lanes_o               <= lanes_q[LaneBits*Pixels-1:0];
      strip_step_o          <= lanes_q[LaneBits*(Pixels+1)-1:LaneBits*Pixels];
    end
  end

endmodule
`default_nettype wire
